from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class AuthLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTH_LEVEL_UNSPECIFIED: _ClassVar[AuthLevel]
    AUTH_LEVEL_PUBLIC: _ClassVar[AuthLevel]
    AUTH_LEVEL_AUTHENTICATED: _ClassVar[AuthLevel]
    AUTH_LEVEL_ORG_USER: _ClassVar[AuthLevel]
    AUTH_LEVEL_ORG_ADMIN: _ClassVar[AuthLevel]
    AUTH_LEVEL_ORG_OWNER: _ClassVar[AuthLevel]
    AUTH_LEVEL_SERVICE: _ClassVar[AuthLevel]
    AUTH_LEVEL_FINANCE: _ClassVar[AuthLevel]
    AUTH_LEVEL_OPERATOR: _ClassVar[AuthLevel]

class Text(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TEXT_UNSPECIFIED: _ClassVar[Text]
    TEXT_NAME: _ClassVar[Text]
    TEXT_PROSE: _ClassVar[Text]
    TEXT_OPAQUE: _ClassVar[Text]
AUTH_LEVEL_UNSPECIFIED: AuthLevel
AUTH_LEVEL_PUBLIC: AuthLevel
AUTH_LEVEL_AUTHENTICATED: AuthLevel
AUTH_LEVEL_ORG_USER: AuthLevel
AUTH_LEVEL_ORG_ADMIN: AuthLevel
AUTH_LEVEL_ORG_OWNER: AuthLevel
AUTH_LEVEL_SERVICE: AuthLevel
AUTH_LEVEL_FINANCE: AuthLevel
AUTH_LEVEL_OPERATOR: AuthLevel
TEXT_UNSPECIFIED: Text
TEXT_NAME: Text
TEXT_PROSE: Text
TEXT_OPAQUE: Text
AUTH_LEVEL_FIELD_NUMBER: _ClassVar[int]
auth_level: _descriptor.FieldDescriptor
ORG_FIELD_FIELD_NUMBER: _ClassVar[int]
org_field: _descriptor.FieldDescriptor
CALLERS_FIELD_NUMBER: _ClassVar[int]
callers: _descriptor.FieldDescriptor
SENSITIVE_FIELD_NUMBER: _ClassVar[int]
sensitive: _descriptor.FieldDescriptor
TEXT_FIELD_NUMBER: _ClassVar[int]
text: _descriptor.FieldDescriptor
